"""What the nodes of a cluster cost."""

from lfiw_ray.section import Section, how

Price = float | None


class CostConfig(Section):
    """Prices, for the cost in the estimate, the log and the report; nothing is said of money without them."""

    cpu_node_per_hour: Price = how(None, "price of a node without GPU, `currency` an hour; none: not known", ge=0)
    gpu_node_per_hour: Price = how(None, "price of a node with GPU, `currency` an hour; none: not known", ge=0)
    estimate: bool = how(False, "begin a run with the estimate of `--dry-run`, and set it beside the truth at the end")
    currency: str = how("USD", "currency of the prices, as it is shown", min_length=1, max_length=8)
