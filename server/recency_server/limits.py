"""The limits that the proto's comments promise, in one place. Lengths are UTF-8 bytes."""

from __future__ import annotations

ID_BYTES = 256
RECOMMENDATION_ID_BYTES = 64
SURFACE_BYTES = 128
LABELS = 32
LABEL_BYTES = 128
QUERY_BYTES = 4_096
FILTER_BYTES = 4_096
# Parentheses in parentheses; nobody writes more by hand, and reading them recurses.
FILTER_DEPTH = 32
CUSTOM_TYPE_BYTES = 64
REASON_BYTES = 1_024

DEFAULT_PAGE_SIZE = 10
MAX_PAGE_SIZE = 500
RECENT_EVENTS = 500
NAMED_ITEMS = 2_000
SEEDS = 100
PROMOTIONS = 20
CONSISTENCY_TOKENS = 100

FEEDBACK_EVENTS = 10_000
SHOWN_ITEMS = 500
MAX_QUANTITY = 1_000_000
MAX_POSITION = 9_999
# How far past the gateway's clock an event may be: clocks differ, years do not.
EVENT_FUTURE_MICROS = 24 * 3600 * 1_000_000

# The longest that ActivateRelease waits for the release to be served.
ACTIVATE_WAIT_SECONDS = 600

UPSERT_ITEMS = 1_000
TITLE_BYTES = 1_024
TEXT_BYTES = 65_536
CATEGORIES = 64
CATEGORY_BYTES = 128
MAX_MATURITY = 100

# Paths of an update mask: every field of a user, and each attribute.
MASK_PATHS = 100

STRUCT_KEYS = 64
STRUCT_BYTES = 16 * 1024
# How deep lists and structs of a context may nest, so that reading one never recurses far.
STRUCT_DEPTH = 8

DEFAULT_LIST_SIZE = 100
MAX_LIST_SIZE = 1_000
DEFAULT_HISTORY_SIZE = 50
MAX_HISTORY_SIZE = 1_000

# How many violations one refused request names; the rest are counted.
VIOLATIONS = 20
# A token (consistency or page) is never longer: 256 bytes of id, in base64, with its checksum.
TOKEN_CHARACTERS = 512

# Of a file of business rules.
RULES = 200
RULES_BYTES = 256 * 1024
RULE_NAME_BYTES = 128
