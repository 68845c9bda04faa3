"""Which curves of a training the page shows."""

from lfiw_ray.report.collect import curves_of


def test_one_loss_is_one_curve_with_its_held_out_loss_where_there_is_one() -> None:
    history = [{"step": 1.0, "loss": 3.0, "log_loss": 9.0}, {"step": 2.0, "loss": 2.0, "held_out_loss": 2.5}]
    assert curves_of(history, "classifier") == {
        "classifier": {"step": [1.0, 2.0], "loss": [3.0, 2.0], "held_out": [None, 2.5]}
    }


def test_two_players_are_two_curves_and_the_held_out_loss_is_the_critics() -> None:
    entry = {"step": 5.0, "critic_loss": 0.8, "generator_loss": 0.1, "critic_real": 1.0, "held_out_loss": 0.7}
    assert curves_of([entry], "generator") == {
        "generator, critic's loss": {"step": [5.0], "loss": [0.8], "held_out": [0.7]},
        "generator, generator's loss": {"step": [5.0], "loss": [0.1], "held_out": None},
    }
