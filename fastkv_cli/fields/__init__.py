"""Fields of a document: schemas that name them, and the forms in which their values are written.

No model and no document: texts and schemas in, values out.
"""
