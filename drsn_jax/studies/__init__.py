"""Internal: the experiments that are more than one training, and what they write. May change without notice.

The folder of an experiment and a single training:

- ``runs``: the folder of a run with its configuration, records and tables, which a run that is continued completes.
- ``training_config``: the hyper-parameters of a training. They are options of the main script; a new one goes here.
- ``trial_data``: the windows of one trial with its noise.
- ``trials``: ``Trainer``, which trains and tests one network; a trial is one training and its test.
- ``baseline``: the method without a network that is tested beside the networks.

A comparison (networks × noises × seeds × folds):

- ``comparison``: runs the trials that are missing in a folder.
- ``comparison_results``: the rows and records of a trial. A new column or table goes here.
- ``comparison_tables``: the table for readers, drawn up from the rows.
- ``comparison_figures``: the figures, drawn from the rows; a new one also goes into its ``draw_all``. ``feature_figure`` has the
  one of the pooled features, ``figure_titles`` what stands above all of them.
- ``model_selection``: saves the best network as a bundle. ``healthy`` makes one of healthy recordings alone.
- ``paper``: the accuracies of the paper, to draw beside ours.

An ablation (rules of thresholding and noises of training × noises of test), whose trainings are members of ensembles:

- ``ablation_plan``: which trainings answer its questions.
- ``ablation``: runs the trainings that are missing in a folder and writes their rows.
- ``ablation_figures`` and ``ablation_report``: its figures, and a page with them and sentences that the numbers support.
"""
