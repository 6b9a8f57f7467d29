"""Experiments that reproduce reports and papers.

Each has its settings, one function per figure, and a README with its results.
"""

from nstjax.blas import use_one_blas_thread

use_one_blas_thread()
