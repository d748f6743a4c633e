"""Every limit of msgsync: value, unit in the name, and the reason. Source: design 3, 4 and 7."""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * 1024

# Messages and entries. A text is what a person writes, not a file; files are attachments.
TEXT_BYTES: Final = MIB
VALUE_BYTES: Final = MIB + MIB // 4
"""A record is its text and what surrounds it (author, external id, the app's extra)."""
KEY_BYTES: Final = 512
"""Keys we write have at most 48 bytes; unknown roots of later versions get room."""
ROOT_BYTES: Final = 64
NAME_BYTES: Final = 1024
"""Authors, users, titles' names and kinds: labels, not texts."""
EMOJI_BYTES: Final = 64
"""The longest emoji sequences in use (families, flags of regions) take under 40 bytes."""
EXTERNAL_ID_BYTES: Final = 255
CONVERSATION_ID_BYTES: Final = 200
EXTRA_DEPTH: Final = 8
"""Nesting of the app's extra: deep values crash parsers on small thread stacks."""
FIELDS: Final = 64
"""Of a record: several times what any has, so that later versions have room."""
ITEMS: Final = 2**17
"""Of one record, or of one frame: a megabyte of tiny items takes seconds to read, and compresses to nothing."""
IDS_PER_ENTRY: Final = 4096
"""A deletion or erasure of more ids is several entries, each far below a frame."""

# Attachments.
ATTACHMENTS: Final = 64
"""Of one message: the photos of a day."""
CHUNK_BYTES: Final = MIB - 4
"""Of a file, but of its last part: with its length in front it has a length that padded things have."""
SEALED_CHUNK_BYTES: Final = MIB + 16
"""A chunk as it lies in folders and mailboxes."""
CHUNKS: Final = 2**14
"""Of one file: 16 GiB, whose keys take half a megabyte in the record."""
PREVIEW_BYTES: Final = 16 * KIB
"""A small picture within the record, for which nobody waits."""
PREVIEW_MADE_BYTES: Final = 4 * KIB
"""Of previews that are made here: they are in the history for good, on every device."""
PREVIEW_PIXELS: Final = 160
"""The longer side of those."""
PICTURE_BYTES: Final = 16 * MIB
"""Of a file of which a preview is made; it is in memory as a whole for that."""
PICTURE_PIXELS: Final = 2**24
"""That are decoded for a preview: 64 MiB."""
PICTURE_PASSES: Final = 64
"""Over a picture that comes in several: programs write about ten, and each takes as long as the whole."""
FILE_NAME_BYTES: Final = 255
"""What file systems take."""
MEDIA_TYPE_BYTES: Final = 127
PIXELS: Final = 2**31 - 1
RECORDING_MS: Final = 30 * 24 * 60 * 60 * 1000
"""That are read from a recording: what says more has a number that means nothing."""
CHUNKS_ASKED: Final = 16
"""Chunks that were asked of a peer and are not here yet: keeps the line busy. One is in memory at a time."""
CHUNKS_TOGETHER: Final = 8
"""Chunks that are noted as here in one commit, and asked for together."""
CHUNKS_TOLD: Final = 64
"""Chunks that the source is told at a time to be here, which it notes in one commit; the last of them at once."""
CHUNKS_PER_FRAME: Final = 1000
"""That one frame asks for or names."""

CHUNKS_PER_ROUND: Final = 32
"""Of chunks, in a round at a mailbox that others follow: new messages do not wait for more than some seconds."""
CONFIRM_MS: Final = 60_000
"""After a chunk was noted in a mailbox before it is read again so that it can go from here: twice as long as between
reading what others wrote and removing what nothing needs."""

# Documents.
DOCUMENT_BYTES: Final = 64 * MIB
DOCUMENT_MESSAGES: Final = 2**20
"""Of one frozen form: a message of nothing takes seven bytes there, and a hundred times as many once it is read."""
CLOCK: Final = 2**24
"""Entries of one writer in one document, live and removed: more than a document has room for. Then another is drawn."""
DEAD_RUN: Final = CLOCK
"""Removed items in a row: as clocks are bounded, runs that were sent in pieces cannot join to more."""
CLIENTS: Final = 2**16
"""Writers of one update or state vector; freezing a document (design 8) will start it anew with none."""
WRITERS: Final = 2**15
"""Writers that peers may bring into one document, one an opening: the other half is left to this device."""
CLIENT_ID: Final = 2**53 - 1
"""Client ids are what a JavaScript number holds exactly."""
TIDY_MS: Final = 250
"""Milliseconds of freezing on idle or on closing: nobody notices, and a day's documents take less."""
TIDY_DOCUMENT_BYTES: Final = 1024 * 1024
"""Larger documents are frozen by `compact` alone: one takes as long as all that is frozen on idle, and cannot be
interrupted. About 10,000 messages in one month of a conversation."""
FREEZE_WRITERS: Final = 200
"""Writers of a document before it is frozen: each takes about twenty bytes there and in every state vector."""
QUIET_MS: Final = 30 * 86_400_000
"""So long after its last change, or its last month, a document is not written to any more, but rarely."""
LAMPORT: Final = 2**48 - 1
GENERATION: Final = 2**48 - 1
"""Freezings of one document: as many as there are Lamport numbers, since a peer may claim any."""
RENEWALS: Final = 2**48 - 1
"""How often a device began anew, as far as it is counted: a peer may claim any number."""
MS: Final = 2**48 - 1
"""Milliseconds since the Unix epoch that a message id holds: until the year 10889."""
RETENTION_DAYS: Final = 30
"""How long deleted messages can be restored, unless a setting says otherwise."""
FUTURE_MS: Final = 36 * 3_600_000
"""A wrong time zone plus a wrong day is 36 hours; beyond that a timestamp would pin a message on top."""

CLOCKS_AGREE_MS: Final = 86_400_000
"""Clocks that differ by more than a day are not believed where something is erased by time (design 4)."""
LEAP_MS: Final = 365 * 86_400_000
"""What seems to lie in Recently Deleted for so much longer than it may was put there by another clock."""

# Wire.
DEVICES: Final = 64
"""Devices of an account that are kept account of, retired ones too: what is known of them fits a frame easily."""
FRAME_BYTES: Final = MIB
"""One frame after decompression; larger updates go in parts."""
FRAME_FILL_BYTES: Final = 256 * KIB
"""Frames, commits and packs are filled to about this much: neither a round trip nor an fsync a document."""
UPDATES_FILL_BYTES: Final = 960 * KIB
"""Frames of updates, each of which is a commit; a document that would make one longer than `FRAME_BYTES` waits."""
FIRST_FILL_BYTES: Final = 64 * KIB
"""The first frame of updates, so that something can be seen at once; each is twice the last one."""
WINDOW_BYTES: Final = 4 * MIB
"""What may be asked of a peer and not be here yet: keeps the line busy, bounds memory on both sides."""
OFFERS_PER_FRAME: Final = 1000
PIECES: Final = 2**18
"""Of one document: 64 MiB of the smallest updates that are written, and pieces of nothing come to an end."""
OFFERS_BEYOND: Final = 100_000
"""Offers of one round beyond the documents a peer has named: more than is written while two talk."""
REFUSALS: Final = 2
"""Exchanges in which one state of a peer's document is refused before it is left alone: what was damaged on the way
comes whole the next time, and what never will be admitted costs no more than twice its size."""
SCREEN_CONVERSATIONS: Final = 10
SCREEN_MESSAGES: Final = 50
"""The first screen: so many newest messages of each of so many conversations."""
SCREEN_DOCUMENT_BYTES: Final = 16 * KIB
"""A document up to this size goes whole into the first screen; of a larger one its newest messages."""
SCREEN_BYTES: Final = MIB
"""The first screen together: it is nothing that anybody asked for."""

# Store.
ARRIVALS: Final = 2**16
"""Commits of which it is kept from which device they came: about a megabyte at most."""
LOG_ROWS: Final = 256
"""Updates in a document's log before they fold into its snapshot: loading stays in the milliseconds."""
UNINDEXED_MESSAGES: Final = 1024
"""Newest messages that a search reads itself, so that sending one does not wait for the index."""
UNINDEXED_BYTES: Final = 256 * KIB
"""And how long they may be together: reading them should take no longer than the search."""
ROWS_WRITTEN_TOGETHER: Final = 1024
"""Rows of messages in one statement: enough that it runs beside the preparation of the next ones."""
ROWS_INDEXED_TOGETHER: Final = 4096
"""Texts in one statement of the search index: each writes what it took in as a part of its own, to be merged later."""
PACK_BYTES: Final = 128 * KIB
"""Updates compressed together: more shrink no further, and one that is removed takes the pack with it."""
PACK_CACHE_BYTES: Final = 4 * MIB
"""Unpacked packs kept while documents are read one after another."""
DOCUMENT_CACHE_BYTES: Final = 16 * MIB
BATCH_MESSAGES: Final = 8192
"""Messages prepared together: large enough to pay per call once, small enough to bound memory."""

# Accounts, keys and sealed objects.
STRETCH_MEMORY_KIB: Final = KIB * KIB
STRETCH_ITERATIONS: Final = 16
STRETCH_LANES: Final = 16
"""Of Argon2id, read from a file: a gigabyte and some seconds, but not more than a phone can give."""
WRAPPED_BYTES: Final = 4 * KIB
CERTIFICATE_BYTES: Final = KIB
"""A certificate of a device has about 300 bytes."""
STATEMENT_BYTES: Final = 128 * KIB
"""A revocation with `POSITIONS` log positions has about 60 kB; every other statement less than 4 kB."""
STATEMENTS: Final = 1024
"""Of one signer in a roster, so that one that floods it keeps nobody from revoking it: two a week for ten years."""
STATEMENTS_RESERVED: Final = 128
"""Of those, for what its person revokes and begins: nothing that a device does by itself uses them up."""
KEY_STATEMENTS: Final = 8192
"""In one key object: eight devices that say all they may."""
ROSTER_STATEMENTS: Final = KEY_STATEMENTS - STATEMENTS
"""Taken in from others: what a device says itself has room in what it tells, too."""
ROSTER_REMOVALS: Final = 1024
"""Of those: a statement may depend on how the circles end that removals go in, and then they are resolved for it."""
PARENTS: Final = 64
"""Statements that nobody had built on when the next was made."""
DEVICE_NAME_BYTES: Final = 128
POSITIONS: Final = 1024
"""Log positions that one statement or object lists: one an opening, and old logs are collected."""
EPOCHS: Final = 256
"""Epochs that one device keeps the secrets of."""
OBJECT_BYTES: Final = 8 * MIB
"""A sealed object and what is in it: a pack of documents, or a chunk; what is larger goes in several."""
OBJECT_FILL_BYTES: Final = 256
"""The smallest sealed text: a lone word looks like a lone sentence."""
HEAD_BYTES: Final = 128 * KIB
"""The head of a sealed object: about 400 bytes, and 60 kB with `POSITIONS` positions."""
KEY_OBJECT_BYTES: Final = 16 * MIB
"""A roster of `KEY_STATEMENTS` ordinary statements."""
PHRASES_TOLD: Final = 16
"""Replaced phrases that are told in a mailbox that they were: as many as a person may try, each is an object."""
ROSTER_BYTES: Final = KEY_OBJECT_BYTES * 3 // 4
"""Of statements taken in from others, as `ROSTER_STATEMENTS`."""
ROSTER_TOLD_BYTES: Final = KEY_OBJECT_BYTES * 15 // 16
"""Of all statements of a roster: with epochs, CBOR and padding they are one key object."""
CHECKPOINT_OBJECTS: Final = 256
"""In logs, beyond twice those of the last checkpoint, before another is made: a listing stays one request or two."""
TIDINGS_MS: Final = 600_000
"""For so long acknowledgements wait for a message to go with, before they are put by themselves: a request each."""
STOPPED_LOG_MS: Final = 3_600_000
"""For so long the rest of a log waits for an object that is missing or damaged: synced folders bring it late."""
LOST_LOG_MS: Final = 86_400_000
"""After so long whoever cannot read a log says so in a checkpoint, and waits for it no longer."""
REPLACED_STAY_MS: Final = 7 * 86_400_000
"""So long objects stay in a mailbox that a checkpoint has replaced, or that nobody takes: who is behind reads on."""
BATCH_FILL_BYTES: Final = MIB
"""Batches are filled to about this much: a request costs as much as a thousand messages, and a batch is a commit."""
GETS_AHEAD: Final = 6
"""Objects of a mailbox that are on their way while one is taken in: enough to hide a tenth of a second each, and about
a megabyte each to keep."""
BATCH_PIECE_BYTES: Final = 4 * MIB
"""Of one batch in one object: padded, and if nothing compresses it, below `OBJECT_BYTES`."""
BATCH_BYTES: Final = 2 * DOCUMENT_BYTES
"""Of one batch: the largest document, its frozen form and its updates, and what came before it."""
MAILBOX_NAME_BYTES: Final = 128
"""Of an object in a mailbox; ours have 53 at most. Synced folders put some of their own in front."""
MAILBOX_OBJECT_BYTES: Final = KEY_OBJECT_BYTES + 64 * KIB
"""The longest that is read from a mailbox: a key object as it lies there."""
UNKNOWN_CONNECTIONS: Final = 64
"""To a device that serves, of whoever has not shown a key yet: as many as an account has devices. Each is given up in
some seconds."""
INVITATION_MS: Final = 10 * 60_000
INVITATION_TRIES: Final = 3
"""Wrong guesses of a code: nobody types it wrong a fourth time, and 60 bits are not guessed in three."""
PAIRING_CONNECTIONS: Final = 16
"""That wait at one invitation; each is given up after some seconds unless somebody behind it knows the code."""
PAIRING_ATTEMPTS: Final = 64
"""Looked at in a mailbox for one invitation: three may be wrong, and whoever has the code seldom breaks off."""
PAIRING_REQUEST_BYTES: Final = 4 * KIB
"""Frames of the device that wants to join: about 2 kB, and nobody is trusted yet who sends them."""
PAIRING_FRAME_BYTES: Final = KEY_OBJECT_BYTES + 64 * KIB
"""The last frame of a pairing holds a key object."""
