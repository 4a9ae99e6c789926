2026-11-24T02:41:52.580083002Z [mpm_event:notice] Apache/2.4.38 (Unix) configured -- resuming normal operations
