"""PyTorch Geometric, without what its import has to say about parts of torch that it will not use for ever.

Imported inside functions: it takes two seconds, which only methods with a graph have to wait for.
"""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.data import Data
    from torch_geometric.utils import k_hop_subgraph, to_dense_batch

__all__ = ["Data", "k_hop_subgraph", "to_dense_batch"]
