"""Who takes part: tables of participants and sessions."""
