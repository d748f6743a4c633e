"""The tables, and how an older file becomes this version's. Source: design 6, docs/specification.md."""

from __future__ import annotations

from typing import Final

APPLICATION_ID: Final = 0x6D736773  # "msgs"
VERSION: Final = 2
"""Of the tables: one more whenever a file with those before would not do."""

TOKENIZER: Final = (
    "unicode61",
    "remove_diacritics",
    "2",
    "categories",
    "L* N* Co So Mn Mc",
    "tokenchars",
    # Emoji that are signs or punctuation to Unicode.
    "\u203c\u2049\u20e3\u2190\u2191\u2192\u2193\u2194\u25fb\u25fc\u25fd\u25fe\u2934\u2935\u3030\u303d",
)
_TOKENIZER: Final = " ".join(f"'{one}'" for one in TOKENIZER)
WORDS: Final = f"fts5(text, content='', detail='none', columnsize=0, tokenize=\"{_TOKENIZER}\")"
TABLES: Final = (
    # Facts about this replica: account, device, store id.
    "create table meta(name text primary key, value blob not null) without rowid",
    # What makes the device one of its account, twice each: see `store.credentials`.
    "create table secrets(name text primary key, value blob not null) without rowid",
    "create table secrets_copy(name text primary key, value blob not null) without rowid",
    "create table statements(id blob primary key, body blob not null) without rowid",
    "create table statements_copy(id blob primary key, body blob not null) without rowid",
    # One row: the digest of the replica, the number of the last commit, the last message in the search index.
    "create table state(root blob not null, seq integer not null, indexed integer not null)",
    # Documents: the truth. They consist of parts, in order of key, from `updates` and `log`: updates, and where
    # generation is above 0 the frozen form before them.
    """create table documents(
        key integer primary key,
        conversation integer not null,
        kind text not null,
        digest blob not null,
        lamport integer not null,
        changed_seq integer not null,
        newest_ms integer not null,
        messages integer not null,
        erased integer not null,
        orphans integer not null,
        superseded integer not null,
        log_rows integer not null,
        bytes integer not null,
        generation integer not null,
        base blob not null,
        writers integer not null,
        changed_ms integer not null,
        merged blob not null,
        lacks blob not null)""",
    "create unique index documents_id on documents(conversation, kind)",
    "create index documents_lacks on documents(conversation) where lacks != x''",
    "create index documents_changed on documents(changed_seq)",
    # Updates of many documents, one behind the other: a zstd frame with checksum.
    "create table packs(key integer primary key, body blob not null)",
    # Where in a pack an update lies. The key is the document's key times 2^20 plus the number of the update.
    """create table updates(
        key integer primary key, pack integer not null, start integer not null, size integer not null)""",
    "create index updates_pack on updates(pack)",
    # Small updates by the same keys, a zstd frame each: what single messages append.
    "create table log(key integer primary key, body blob not null)",
    # The read model: all of it can be made again from the documents.
    """create table conversations(
        key integer primary key,
        id text not null unique,
        title text,
        created_ms integer,
        live integer not null default 0,
        pinned integer not null default 0,
        archived integer not null default 0,
        muted_ms integer,
        activity_ms integer,
        last_message integer,
        changed_seq integer not null default 0)""",
    "create table authors(key integer primary key, name text not null unique)",
    # key: order of arrival. (ms, ord, tail) is the order shown; ms and tail are the two halves of the id.
    # rest: the record's further fields, if it has any, as a CBOR map.
    """create table messages(
        key integer primary key,
        conversation integer not null,
        ms integer not null,
        ord integer not null,
        tail blob not null,
        flags integer not null,
        author integer not null,
        text text not null,
        external text,
        rest blob,
        changed_seq integer not null)""",
    "create index messages_order on messages(conversation, ms, ord)",
    # By conversation: an import of one then writes few pages of it.
    "create index messages_tail on messages(conversation, tail)",
    # What was said about messages, here or not. An edited message's own text has lamport -1.
    """create table edits(
        document integer, id blob, lamport integer, writer blob, text text not null, at integer, device blob,
        primary key(document, id, lamport, writer)) without rowid""",
    """create table reactions(
        document integer, id blob, user integer, emoji text, lamport integer not null, writer blob not null,
        shown integer not null, at integer not null, device blob, digest blob not null,
        primary key(document, id, user, emoji)) without rowid""",
    """create table deletions(
        document integer, lamport integer, writer blob, kind integer not null, at integer not null, device blob,
        ids blob not null, supersedes blob not null, digest blob not null, stored_ms integer not null,
        confirmed integer not null,
        primary key(document, lamport, writer)) without rowid""",
    "create index deletions_unconfirmed on deletions(document) where confirmed = 0",
    """create table covered(
        document integer, id blob, lamport integer, writer blob,
        primary key(document, id, lamport, writer)) without rowid""",
    """create table erased(
        document integer, id blob, changed_seq integer not null, primary key(document, id)) without rowid""",
    # Attachments that were erased while their messages stay: the id, and the number as one byte.
    """create table gone(
        document integer, attachment blob, changed_seq integer not null,
        primary key(document, attachment)) without rowid""",
    # Which messages are one. The second half of the other id finds what names an id, and what a carrier's id names.
    """create table aliases(
        conversation integer, id blob, key blob, other blob not null, external text not null, sent integer not null,
        own integer not null, document integer not null, primary key(conversation, id, key)) without rowid""",
    "create index aliases_other on aliases(substr(other, 7))",
    """create table fields(
        document integer, name text, lamport integer not null, writer blob not null, value blob not null,
        primary key(document, name)) without rowid""",
    # Marks that nobody supersedes: a message was read if one of them covers it.
    """create table reads(
        document integer, lamport integer, writer blob, ms integer not null, ord integer not null, tail blob not null,
        from_ms integer not null, seen blob not null, primary key(document, lamport, writer)) without rowid""",
    # Attachments, all of it again from the records: which files messages have, and which chunks files have. A file is
    # told by a hash of all that a record says of its bytes. state: where the chunk is, see `store.chunkrows`.
    """create table attached(
        document integer, id blob, number integer, file integer not null,
        primary key(document, id, number)) without rowid""",
    "create index attached_file on attached(file)",
    """create table files(
        key integer primary key, hash blob not null unique, digest blob not null, size integer not null,
        newest_ms integer not null)""",
    "create index files_digest on files(digest)",
    """create table parts(
        file integer, number integer, chunk integer not null, primary key(file, number)) without rowid""",
    "create index parts_chunk on parts(chunk)",
    """create table chunks(
        key integer primary key, name blob not null unique, secret blob not null, size integer not null,
        state integer not null, used_ms integer not null)""",
    # Who else has them, a device or a mailbox, and which devices have promised to keep them; and to which devices this
    # one has: see `store.copies`.
    """create table copies(
        chunk integer, place any, store_id blob not null, promised integer not null, noted_ms integer not null,
        seen integer not null, primary key(chunk, place)) without rowid""",
    # Chunks that may lie in a mailbox though no message needs them any more.
    "create table rubbish(place text, name blob, primary key(place, name)) without rowid",
    """create table promises(
        chunk integer, device blob, primary key(chunk, device)) without rowid""",
    # Who has promised to keep which state of a month, and for whom this device keeps months: see `store.history`.
    """create table keepers(
        document integer, place any, store_id blob not null, digest blob not null,
        primary key(document, place)) without rowid""",
    "create table kept(document integer, device blob, primary key(document, device)) without rowid",
    # How many live messages of whom there are in a month that was let go of: they may be unread.
    """create table elsewhere(
        document integer, author integer, from_ms integer not null, behind_ms integer not null,
        messages integer not null, primary key(document, author)) without rowid""",
    # Names of chunks that may lie in the folder though no row says so: written or removed by what was not finished.
    "create table loose(name blob primary key) without rowid",
    """create table unreadable(
        document integer, root text, key blob, reason text not null,
        primary key(document, root, key)) without rowid""",
    # Messages of which two devices had different records under one id; one is kept, the same everywhere.
    """create table differing(
        document integer, root text, key blob, primary key(document, root, key)) without rowid""",
    # Contentless: the index alone. Deleting hands the old text in; 'secure-delete' leaves nothing behind.
    f"create virtual table search using {WORDS}",
    "insert into search(search, rank) values('secure-delete', 1)",
    # What devices are known to have, this one included, and when each was last heard of: see `msgsync.standing`.
    """create table peers(
        device blob primary key, store_id blob not null, renewals integer not null,
        heard_ms integer not null) without rowid""",
    # Up to which commit of another device (of itself: its last) a device has everything.
    """create table acknowledged(
        device blob, of blob, seq integer not null, primary key(device, of)) without rowid""",
    # Conversations deleted while not all of them was here: what comes of them up to an id is deleted on arrival.
    """create table wishes(
        conversation text primary key, up_to blob not null, at integer not null,
        head integer not null) without rowid""",
    # Which device a commit took in something from.
    "create table arrivals(seq integer primary key, device blob not null)",
    """create table refused(
        device blob, conversation text, kind text, digest blob not null, reason text not null,
        primary key(device, conversation, kind)) without rowid""",
    # What lies in mailboxes, as far as it was put or read here: see `store.mailboxes`.
    """create table mailboxes(
        key integer primary key, address text not null unique, put_seq integer not null, keys blob not null,
        incarnation blob not null, sequence integer not null, hash blob not null, used_ms integer not null,
        checkpoint text not null, checkpoint_seq integer not null, checkpoint_ms integer not null,
        checkpoint_objects integer not null, collect_ms integer not null, cleared_seq integer not null,
        epoch blob not null)""",
    """create table logs(
        mailbox integer, folder text, device blob not null, incarnation blob not null, first integer not null,
        sequence integer not null, hash blob not null, since integer not null, covered integer not null,
        hole integer not null, primary key(mailbox, folder)) without rowid""",
    """create table tidings(
        mailbox integer, device blob, sequence integer not null, tidings blob not null,
        primary key(mailbox, device)) without rowid""",
    """create table stops(
        mailbox integer, folder text, since_ms integer not null, primary key(mailbox, folder)) without rowid""",
    """create table posted(
        mailbox integer, document integer, generation integer not null, base blob not null, clocks blob not null,
        digest blob not null, primary key(mailbox, document)) without rowid""",
    # Where this replica syncs, and how the last attempt there went: see `store.places`.
    """create table places(
        name text primary key, mailbox integer not null, device blob not null, tried_ms integer not null,
        done_ms integer not null, code text not null, why text not null, objects integer not null) without rowid""",
)
