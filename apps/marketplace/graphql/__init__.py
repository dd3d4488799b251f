"""The marketplace as the API shows it.

terms.py facts.py needs.py        enums, values, requirements
publishers.py listings.py         Author, MarketplaceWorkflow
releases.py                       ListingVersion
installing.py plans.py            Installation; what an installer chooses and gets
searching.py                      search results, the namespace WorkflowMarketplace
publishing.py                     inputs and payload of publishWorkflow
types.py extensions.py            all of them for the schema; what they add below
"""
