"""The sentences of reasons, in English and Chinese. Pure.

The request's `context` says which language by its `locale` (`zh`, `zh-CN`, …); what is neither is answered in English.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from recency.v1 import event_pb2


@dataclass(frozen=True, slots=True)
class Language:
    """Templates of one language.

    did      by the event's type: what the user did with {title}; `otherwise` for any other type
    because, although   of an event that raises the score, and of one that lowers it
    """

    did: Mapping[int, str]
    otherwise: str
    because: str
    although: str
    shares: str
    same: str
    has_words: str
    asked_for: str
    like: str
    trending: str
    popular: str
    newest: str
    promoted: str
    explored: str
    lifted: str
    between: str

    def event(self, event_type: int, title: str, contribution: float) -> str:
        """Why an event counts, for or against."""
        did = self.did.get(event_type, self.otherwise).format(title=title)
        return (self.because if contribution >= 0.0 else self.although).format(did=did)


ENGLISH = Language(
    did=MappingProxyType(
        {
            event_pb2.EVENT_TYPE_VIEW: "looked at {title}",
            event_pb2.EVENT_TYPE_CLICK: "chose {title}",
            event_pb2.EVENT_TYPE_ADD_TO_CART: "put {title} in your cart",
            event_pb2.EVENT_TYPE_PURCHASE: "bought {title}",
            event_pb2.EVENT_TYPE_LIKE: "liked {title}",
            event_pb2.EVENT_TYPE_RATING: "rated {title}",
            event_pb2.EVENT_TYPE_SHARE: "shared {title}",
            event_pb2.EVENT_TYPE_COMPLETE: "finished {title}",
        }
    ),
    otherwise="took an interest in {title}",
    because="Because you {did}",
    although="Although you {did}",
    shares="Shares {traits} with {title}",
    same="Same {relation} as {title}: {text}",
    has_words="Has your words: {words}",
    asked_for="Fits what you asked for",
    like="Is like {title}",
    trending="Is trending now",
    popular="Is taken up by many people",
    newest="Is one of the newest",
    promoted="Promoted: {name}",
    explored="Shown to find out whether people like it",
    lifted="Recommended more by this service's rules",
    between=", ",
)

CHINESE = Language(
    did=MappingProxyType(
        {
            event_pb2.EVENT_TYPE_VIEW: "浏览过《{title}》",
            event_pb2.EVENT_TYPE_CLICK: "选择过《{title}》",
            event_pb2.EVENT_TYPE_ADD_TO_CART: "把《{title}》加入了购物车",
            event_pb2.EVENT_TYPE_PURCHASE: "购买过《{title}》",
            event_pb2.EVENT_TYPE_LIKE: "喜欢《{title}》",
            event_pb2.EVENT_TYPE_RATING: "评价过《{title}》",
            event_pb2.EVENT_TYPE_SHARE: "分享过《{title}》",
            event_pb2.EVENT_TYPE_COMPLETE: "看完了《{title}》",
        }
    ),
    otherwise="关注过《{title}》",
    because="因为您{did}",
    although="尽管您{did}",
    shares="与《{title}》的共同点：{traits}",
    same="与《{title}》的{relation}相同：{text}",
    has_words="包含您提到的词：{words}",
    asked_for="符合您的要求",
    like="与《{title}》相似",
    trending="近期热门",
    popular="许多人的选择",
    newest="最新上架",
    promoted="推广：{name}",
    explored="为了解大家是否喜欢而展示",
    lifted="按本服务的规则优先推荐",
    between="、",
)


def language_of(context_json: str) -> Language:
    """The language that a request's context asks for."""
    locale = json.loads(context_json).get("locale") if context_json else None
    chinese = isinstance(locale, str) and locale.lower().replace("_", "-").partition("-")[0] == "zh"
    return CHINESE if chinese else ENGLISH
