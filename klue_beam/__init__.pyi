# The public names of klue-beam and where each is defined. __init__.py reads this file, and so do type checkers.

from klue_beam.beam_pipelines.graphs.dataset import AnnotateDataset as AnnotateDataset
from klue_beam.schemas.config import AnnotateConfig as AnnotateConfig
from klue_beam.schemas.config import ModelConfig as ModelConfig
from klue_beam.schemas.config import ReadConfig as ReadConfig
from klue_beam.schemas.registry import CLEANERS as CLEANERS
from klue_beam.schemas.registry import EXPORTERS as EXPORTERS
from klue_beam.schemas.registry import FORMATS as FORMATS
from klue_beam.schemas.registry import SPLITTERS as SPLITTERS
from klue_beam.schemas.registry import STORES as STORES
from klue_beam.schemas.registry import TASKS as TASKS
from klue_beam.schemas.shard import Chunk as Chunk
from klue_beam.schemas.shard import Plan as Plan
from klue_beam.schemas.shard import Receipt as Receipt
from klue_beam.schemas.shard import Shard as Shard
from klue_beam.transforms.annotate.sentences import Annotate as Annotate
from klue_beam.transforms.annotate.sentences import ClassifyTopics as ClassifyTopics
from klue_beam.transforms.annotate.sentences import ExtractRelations as ExtractRelations
from klue_beam.transforms.annotate.sentences import ParseDependencies as ParseDependencies
from klue_beam.transforms.annotate.sentences import RecognizeEntities as RecognizeEntities
from klue_beam.transforms.export.base import export as export
from klue_beam.transforms.models.engine.resolving import resolve_models as resolve_models
from klue_beam.transforms.plan.dataset import open_dataset as open_dataset
from klue_beam.transforms.plan.plan import extend_plan as extend_plan
from klue_beam.transforms.plan.plan import load_plan as load_plan
from klue_beam.transforms.plan.plan import make_plan as make_plan
from klue_beam.transforms.plan.plan import save_plan as save_plan
from klue_beam.transforms.read.shards import ReadShards as ReadShards
from klue_beam.transforms.split.sentences import SplitSentences as SplitSentences
from klue_beam.transforms.split.sentences import load_splitter as load_splitter
from klue_beam.transforms.split.sentences import splitter_version as splitter_version
from klue_beam.transforms.verify.dataset import verify as verify
from klue_beam.transforms.write.sink import WriteAnnotations as WriteAnnotations

__version__: str
