from recency.v1 import item_pb2
from recency_cli.story import Viewer, films_to_click, fullest_of, genre_to_click, moves


def film(item_id: str, *genres: str) -> item_pb2.Item:
    return item_pb2.Item(item_id=item_id, categories=genres)


FILMS = {
    f.item_id: f for f in (film("a", "Horror"), film("b", "Horror", "War"), film("c", "War"), film("d", "Western"))
}


def test_moves_say_what_is_new_and_how_far_the_rest_went() -> None:
    assert moves(["a", "b", "c"], ["c", "d", "b"]) == [("c", "▲2"), ("d", "new"), ("b", "▼1")]
    assert moves(["a"], ["a"]) == [("a", "=")]


def test_the_viewer_with_the_largest_share_of_a_genre_is_found() -> None:
    fan, other = Viewer("1", ("a", "b", "c"), ()), Viewer("2", ("c", "d", "a"), ())
    assert fullest_of([other, fan], "Horror", FILMS) is fan


def test_clicks_go_to_unseen_well_known_films_of_the_genre_that_a_slate_lacks() -> None:
    assert genre_to_click(["a", "b"], FILMS, ["War", "Western"]) == "Western"
    assert films_to_click("War", FILMS, seen=["b"], popularity={"b": 9, "c": 1}) == ["c"]
