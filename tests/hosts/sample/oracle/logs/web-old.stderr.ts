2026-11-24T02:41:45.973798844Z [mpm_event:notice] Apache/2.4.38 (Unix) configured -- resuming normal operations
