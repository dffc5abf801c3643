#!/usr/bin/env bash
# aeon's MiniRocketClassifier answers predict_proba with decisions: every row holds a one and zeros.
#
# Expected: probabilities between 0 and 1, as predict_proba of scikit-learn's classifiers gives, or none at all, as its ridge
# classifiers have none. Seen with aeon 1.6.0: the default estimator is ridge regression, and each row is the predicted class as a
# one. The area under the ROC curve, a calibration or a threshold made of them is that of the decisions: 0.83 here, where the
# scores of the ridge regression inside have 0.91. The classifier with an estimator that has probabilities, such as logistic
# regression, gives them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet aeon==1.6.0 scikit-learn==1.9.1 numpy==2.3.5
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
from aeon.classification.convolution_based import MiniRocketClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

rng, time = np.random.default_rng(0), np.arange(64)


def series(count):
    labels = np.arange(count) % 2
    return rng.normal(size=(count, 1, 64)) + 0.5 * labels[:, None, None] * np.sin(2 * np.pi * 5 * time / 64), labels


(train, train_labels), (test, test_labels) = series(200), series(400)
ridge = MiniRocketClassifier(n_kernels=840, random_state=0).fit(train, train_labels)
rows = ridge.predict_proba(test)
inside = roc_auc_score(test_labels, ridge.pipeline_.decision_function(test))
print("values of predict_proba:", np.unique(rows).tolist())
print(f"area under the curve: of them {roc_auc_score(test_labels, rows[:, 1]):.2f}, of the scores inside {inside:.2f}")
assert np.isin(rows, (0, 1)).all()
assert inside > roc_auc_score(test_labels, rows[:, 1]) + 0.05
logistic = MiniRocketClassifier(n_kernels=840, random_state=0, estimator=LogisticRegression(max_iter=1000)).fit(train, train_labels)
print("values with logistic regression:", len(np.unique(logistic.predict_proba(test))))
assert len(np.unique(logistic.predict_proba(test))) > 100
PY
