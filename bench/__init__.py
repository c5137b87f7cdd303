"""simbench: which image-retrieval method should you use?"""
