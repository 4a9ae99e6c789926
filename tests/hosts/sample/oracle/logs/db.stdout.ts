2026-11-24T02:41:50.376010298Z ready for connections
