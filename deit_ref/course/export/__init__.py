"""Points for the systems in which teachers keep them. In reading order: roster, late, tables, gradescope."""
