//! Kernels from samples to standardised log-mel features.
