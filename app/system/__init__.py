"""The machine below: files that survive a crash, memory, devices, and input from outside that may be bad."""
