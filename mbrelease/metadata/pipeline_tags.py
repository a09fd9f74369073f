"""The tasks by which the Hub sorts models.

Source: https://github.com/huggingface/huggingface.js, packages/tasks/src/pipelines.ts. Of a tag
that is not in its list the Hub only warns, for the list grows.
"""

from __future__ import annotations

_TAGS = """
text-classification token-classification table-question-answering question-answering
zero-shot-classification translation summarization feature-extraction text-generation
text2text-generation fill-mask sentence-similarity text-to-speech text-to-audio
automatic-speech-recognition audio-to-audio audio-classification audio-text-to-text
voice-activity-detection depth-estimation image-classification object-detection
image-segmentation text-to-image image-to-text image-to-image image-to-video
image-text-to-image image-text-to-video video-to-video unconditional-image-generation
video-classification reinforcement-learning robotics tabular-classification
tabular-regression tabular-to-text table-to-text multiple-choice text-ranking text-retrieval
time-series-forecasting text-to-video image-text-to-text visual-question-answering
document-question-answering zero-shot-image-classification graph-ml mask-generation
zero-shot-object-detection text-to-3d image-to-3d image-feature-extraction
video-text-to-text keypoint-detection visual-document-retrieval any-to-any other
"""
PIPELINE_TAGS = frozenset(_TAGS.split())
