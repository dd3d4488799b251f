"""All types of the marketplace, for the schema."""

from apps.marketplace.graphql.installing import Installation
from apps.marketplace.graphql.listings import MarketplaceWorkflow
from apps.marketplace.graphql.plans import InstallationResult
from apps.marketplace.graphql.publishers import Author
from apps.marketplace.graphql.publishing import PublishResult
from apps.marketplace.graphql.releases import ListingVersion
from apps.marketplace.graphql.searching import Marketplace, WorkflowSearchResult

__all__ = [
    "Author",
    "Installation",
    "InstallationResult",
    "ListingVersion",
    "Marketplace",
    "MarketplaceWorkflow",
    "PublishResult",
    "WorkflowSearchResult",
]
