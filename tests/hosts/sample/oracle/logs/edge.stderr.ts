2026-11-24T02:41:52.205097665Z [mpm_event:notice] Apache/2.4.38 (Unix) configured -- resuming normal operations
