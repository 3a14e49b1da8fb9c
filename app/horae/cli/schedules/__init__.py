"""`horae schedule …`."""
