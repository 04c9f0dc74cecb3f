"""The ReID trainer: `train` in `loop.py` is one visible loop; everything else is called from it.

data.py (decoded pictures, held-out people), sampler.py (P people × K pictures), transforms.py (augmentation as batch
operations), losses.py, schedule.py (optimiser and learning rate), finish.py (calibration, shipped file, model card).
"""
