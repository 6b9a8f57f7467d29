"""A fuzzer: ``python -m tests.fuzz``. Damaged files and odd options must end in a result or in one sentence.

``mutations`` damages content, ``targets`` lists what is read, ``worker`` runs one input after the other in a process of its
own, ``campaign`` starts workers and judges what they report. ``test_fuzz`` is a short campaign.
"""
