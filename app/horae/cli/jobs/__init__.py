"""`horae job …`."""
