"""msgsync."""
from msgsync.replica.replica import Replica
from msgsync.replica.values import *
from msgsync.ids import *
from msgsync import errors
open = Replica
