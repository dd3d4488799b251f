"""The rows of the marketplace."""

from apps.marketplace.models.installations import FirstSuccessfulRun, Installation
from apps.marketplace.models.listings import Listing, Publisher
from apps.marketplace.models.releases import Release
from apps.marketplace.models.search_rows import SearchRow, SearchWord
from apps.marketplace.models.statistics import ListingStatistics

__all__ = [
    "FirstSuccessfulRun",
    "Installation",
    "Listing",
    "ListingStatistics",
    "Publisher",
    "Release",
    "SearchRow",
    "SearchWord",
]
