"""`DistributedSampler`, where PyTorch keeps it."""

from .sampler import DistributedSampler as DistributedSampler
