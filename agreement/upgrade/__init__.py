"""The upgrade check: did any gradient change between two versions of Keras?

Files stand in the order of work: ``counter`` and ``cases`` make reproducible numbers, ``items``
says what is recorded, ``recording`` is the file, ``comparison`` and ``judgement`` say what
changed and who is right, ``environments`` and ``campaign`` run releases beside each other.
"""
