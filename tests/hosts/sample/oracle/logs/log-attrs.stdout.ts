2026-11-24T02:41:55.740331636Z with "attributes" | é
