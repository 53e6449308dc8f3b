from pathlib import Path

import pytest

from recency_export.movielens import fixed_title, import_movielens
from recency_export.rows import BadFile
from recency_store.memory import MemoryStore

NOW = 1_760_000_000_000_000


def write_small(folder: Path) -> Path:
    (folder / "ml-100k.inter").write_text(
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
        "1\t10\t5\t881250949\n2\t10\t3\t881250900\n1\t11\t1\t881250949\n"
    )
    (folder / "ml-100k.item").write_text(
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "10\tGodfather, The\t1972\tAction Crime\n11\tunkonwn\tunkonwn\tunknown\n"
    )
    (folder / "ml-100k.user").write_text(
        "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
        "1\t24\tM\ttechnician\t85711\n2\t53\tF\tother\t94043\n"
    )
    return folder


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("Godfather, The", "The Godfather"),
        ("Enfer, L'", "L'Enfer"),
        ("Paris, Texas", "Paris, Texas"),
        ("Blue Angel, The (Blaue Engel, Der)", "The Blue Angel (Der Blaue Engel)"),
        ("Mrs. Brown (Her Majesty, Mrs. Brown)", "Mrs. Brown (Her Majesty, Mrs. Brown)"),
    ],
)
def test_articles_stand_before_their_titles(theirs: str, ours: str) -> None:
    assert fixed_title(theirs) == ours


def test_ratings_come_in_the_order_of_time_then_line_with_items_and_users(tmp_path: Path) -> None:
    store = MemoryStore()
    import_movielens(store, write_small(tmp_path), NOW)
    assert [(e.user_id, e.item_id, e.value) for e in store.scan_log()] == [
        ("2", "10", 3),
        ("1", "10", 5),
        ("1", "11", 1),
    ]
    film = store.get_items(["10"])["10"].item()
    assert (film.title, list(film.categories), film.attributes["release_year"]) == (
        "The Godfather",
        ["Action", "Crime"],
        1972,
    )
    assert store.get_user("1") is not None


def test_the_newest_rating_is_moved_to_the_moment_of_import_and_a_later_run_changes_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    import_movielens(store, write_small(tmp_path), NOW, shift_to=NOW)
    times = [event.time_micros for event in store.scan_log()]
    assert times == [NOW - 49_000_000, NOW, NOW]
    again = import_movielens(store, tmp_path, NOW + 5, shift_to=NOW + 5)
    assert again.written == 0
    assert [event.time_micros for event in store.scan_log()] == times


def test_a_missing_file_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="make setup"):
        import_movielens(MemoryStore(), tmp_path, NOW)
