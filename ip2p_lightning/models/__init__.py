"""Networks and their builders: autoencoders, text encoders, multimodal language models, the edit head, denoisers.

A network knows nothing of batches, losses or methods; what turns a batch into conditions belongs to `conditioners`.
"""
