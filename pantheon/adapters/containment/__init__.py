"""Containment by the kernel: entering an empty network namespace, and looking at what one is in."""
