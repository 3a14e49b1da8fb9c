"""`horae schedule apply`: a file of schedules, compared with what the server has, and carried out.

`files` reads the file (`yaml_file`, `python_file`) into `wanted`; `diff` decides, purely, what is to be done; `ahead`
asks the api whether it may be and what it means; `carry` does it; `report` tells it.
"""
