"""One result for each of many documents, in a folder that any run can go on with."""
