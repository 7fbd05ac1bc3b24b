"""Fine-tune another's model on your own data: every answer also pays the base, and the data that the base is from."""

import numpy as np
from sklearn.datasets import load_digits

import interlace

digits = load_digits()  # 1,797 real images of 8 by 8 pixels
noise = np.random.default_rng(7).normal(0, 3, digits.data.shape).round()
noisy = np.clip(digits.data + noise, 0, 16)  # as another scanner would read them

with interlace.devnet() as net:
    ann, ben, cleo = net.accounts("ann", "ben", "cleo")
    clean = ann.anchor((digits.data[:1_000], digits.target[:1_000]), name="clean digits", licence="CC-BY-4.0")
    base = ann.publish(ann.train(clean, "mlp"))
    scanned = ben.anchor(
        (noisy[1_000:1_500], digits.target[1_000:1_500]), name="scanned digits", licence="CC-BY-SA-4.0"
    )
    tuned = ben.train(scanned, base=base, base_weight=6_000)  # goes on from the base's weights

    unseen, truth = noisy[1_500:], digits.target[1_500:]
    for name, model in (("base", base), ("fine-tuned", tuned)):
        right = np.mean(np.array(model.trained.quantised.predict(unseen)) == truth)
        print(f"{name:<11} names {right:.1%} of {len(unseen)} scanned digits rightly")

    with ben.serve(tuned, price="0.01/call") as service:
        answers = cleo.ask_all(service, list(unseen[:5]), budget="0.05")
        service.settle()
    paid = sum(int(answer.cost) for answer in answers)
    earned = {"scanned digits": ben.claim(scanned), "fine-tuned": ben.claim(tuned), "node": ben.claim("node")}
    earned |= {"base": ann.claim(base), "clean digits": ann.claim(clean)}
    licence = net.registry.licence_of(tuned.class_id)

for name, amount in earned.items():
    print(f"{name:<15} earned {amount}")
print(f"that is {sum(int(amount) for amount in earned.values()) / paid:.0%} of what was paid; the model {licence}")
