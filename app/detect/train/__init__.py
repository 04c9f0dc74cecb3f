"""Training of the detector that comes with the program.

===============  ==================================================================================================
`photos`         pictures with boxes, people cut out along their masks, person-free pictures; rendered scenes
`compose`        the data recipe: one training picture from many, with exact boxes
`degrade`        what a cheap camera does to a picture
`pictures`       the composed pictures on disk, where Ultralytics' trainer reads them
`network.yaml`   the narrow network in Ultralytics' notation
`loop`           training with Ultralytics' trainer, resuming, and the finished weights
===============  ==================================================================================================
"""
