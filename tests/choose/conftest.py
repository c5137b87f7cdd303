"""Run folders of real digits, as `simbench run` leaves them."""

from written_runs import ways, write_run

__all__ = ["ways", "write_run"]
