"""What differs between architectures: conditioning, the call of the denoiser, decoding."""
