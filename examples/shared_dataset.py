"""Five people make one data set; what each brings is measured, and every paid answer pays them by that measure."""

import numpy as np
from sklearn.datasets import load_digits

import interlace
from interlace.assets.contribution import measure, share_ratios, verify_contribution
from interlace.assets.evaluation import Evaluation, split
from interlace.assets.rows import from_table
from interlace.assets.schema import schema_of
from interlace.assets.score import score, verify_score
from interlace.assets.yields import measure_yields

digits = interlace.labelled(*load_digits(return_X_y=True))  # 1,797 images of handwritten digits
schema = schema_of(digits)
training, held_back = split(from_table(digits), schema, seed=bytes(32))
images = np.array(training.cells, dtype=float)
noise = np.random.default_rng(1)


def part(rows: np.ndarray, wrong_labels: int = 0) -> interlace.Table:
    """A contributor's table: pixels and labels, the labels moved by so many classes."""
    return interlace.labelled(rows[:, :-1], (rows[:, -1].astype(int) + wrong_labels) % 10)


copies = images[0:280].copy()
copies[:, :-1] = np.clip(copies[:, :-1] + noise.uniform(-0.1, 0.1, (280, 64)), 0, 16)
tables = {
    "ana": part(images[0:400]),
    "ben": part(images[400:700]),
    "cleo": part(images[700:1000]),
    "dan": part(images[1000:1200], wrong_labels=1),  # every label is wrong
    "eve": part(np.vstack([copies, images[1200:1250]])),  # almost all of it is ana's, changed a little
}

with interlace.devnet() as net:
    people = dict(zip(tables, net.accounts(*tables), strict=True))
    steward, carol, nina, bob = net.accounts("steward", "carol", "nina", "bob")

    # Everyone commits first; the seed comes from a block that nobody knew then.
    for name, table in tables.items():
        people[name].anchor(table, name=f"digits of {name}", licence="CC-BY-4.0")
    net.client.mine()
    evaluation = Evaluation(schema, held_back, seed=bytes.fromhex(net.client.block().hash[2:]))

    rows = {name: from_table(table) for name, table in tables.items()}
    for name, mine in rows.items():
        earlier = [row for other in rows if other < name for row in rows[other].cells]
        base = type(mine)(mine.columns, tuple(earlier))
        report = score(mine, evaluation, base=base)
        assert not verify_score(report, mine, evaluation, base=base)
        print(f"{name:5} {len(mine)} rows, score {report['score']:5}  {report['parts_bp']}")

    measured = measure(rows, evaluation)
    assert not verify_contribution(measured, rows, evaluation)
    for entry in measured["contributors"]:
        gain = entry["shapley"] / measured["shapley_denominator"]
        print(f"{entry['name']:5} adds {gain:6.1f} right answers of {measured['held_back']}: {entry['share_bp']:4} bp")

    # A class whose shares follow the measure; a model is derived from it and sold by the call.
    shares = {people[name].address: bp for name, bp in share_ratios(measured).items()}
    together = np.vstack([tables[name].values for name in share_ratios(measured)])
    pooled = interlace.labelled(together[:, :-1], together[:, -1].astype(int))
    data = steward.anchor(pooled, name="digits of five", licence="CC-BY-4.0", shares=shares)
    model = carol.train(data, kind="logistic")
    carol.publish(model)
    with nina.serve(model, price="0.01/call") as service:
        bob.ask_all(service, list(model.held_back[:20]), budget="1")
        assert service.settle().done

    yields = measure_yields(net.client)
    earned = next(sums for sums in yields.classes if sums.class_id == data.class_id)
    claims = {name: people[name].claim(data) for name in share_ratios(measured)}
    for name, amount in claims.items():
        assert amount == earned.revenue * share_ratios(measured)[name] // 10_000
        print(f"{name:5} claims {amount}")
    left = earned.revenue - sum(claims.values())
    assert 0 <= left < len(claims)
    print(f"{earned.derived_calls} calls paid {interlace.Credits(earned.revenue)} to the data; {left} credit-wei stay")
