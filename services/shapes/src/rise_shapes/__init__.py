"""The embedded family: its weights, its scenes and captions, its judge, and the training beside them."""
