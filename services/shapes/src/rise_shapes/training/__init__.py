"""Training the embedded family from nothing: `make train`. Imported by nothing that serves."""
