"""The address space: namespace 0 and our types are stored nodes, everything of the site is computed.

No object exists per instance: a NodeId resolves to (node of the level's model, element), and every answer comes from
model x topology x image, so that a site of 100,000 cells starts like the demo.
"""
