//! Rows of read models in Redis: what keys hold, read page by page for a comparison, each page as of one position.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::LazyLock,
};

use super::{
    super::generation::{Digest, Digests, Generation, RowContents},
    RedisStore, VERSION,
};
use crate::{
    adapters::redis::{self, Script, keys},
    events::Position,
    projections::StoreError,
};

/// Redis serves nobody else while it reads a page.
const MOST: usize = 100;

/// Keys, or fields of one key, by names that are the same in all generations.
#[derive(Debug)]
pub enum KeyPage {
    /// Each is a row.
    Keys(Vec<String>),
    /// A key that is of nobody in particular is a table of its own: a field is a row, however many there are.
    Fields(String, Vec<String>),
}

/// KEYS: the checkpoint, then what to read. ARGV: fields, if that is one hash of which only they are wanted. Returns the
/// position, and of each key or field its kind and what is in it.
const READ: &str = "
local function add(row, values)
  for _, value in ipairs(values) do
    if type(value) == 'table' then
      row[#row + 1] = tostring(#value)
      add(row, value)
    else
      row[#row + 1] = value
    end
  end
  return row
end
local function read(key)
  local kind = redis.call('TYPE', key).ok
  if kind == 'string' then return {kind, redis.call('GET', key)} end
  if kind == 'list' then return add({kind}, redis.call('LRANGE', key, 0, -1)) end
  if kind == 'hash' then return add({kind}, redis.call('HGETALL', key)) end
  if kind == 'set' then return add({kind}, redis.call('SMEMBERS', key)) end
  if kind ~= 'stream' then return {kind} end
  local about, row = redis.call('XINFO', 'STREAM', key), {kind}
  for i = 1, #about, 2 do
    if about[i] == 'last-generated-id' then row[2] = about[i + 1] end
  end
  return add(row, redis.call('XRANGE', key, '-', '+'))
end
local rows = {}
if #ARGV > 0 then
  for i, value in ipairs(redis.call('HMGET', KEYS[2], unpack(ARGV))) do
    rows[i] = value and {'field', value} or {'none'}
  end
else
  for i = 2, #KEYS do rows[i - 1] = read(KEYS[i]) end
end
return {redis.call('HGET', KEYS[1], 'position'), rows}";

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(READ));

impl RedisStore {
    /// Everything that there is in any of these generations.
    pub(super) async fn pages(
        &self,
        generations: &[Generation],
    ) -> Result<Vec<KeyPage>, StoreError> {
        let (mut names, mut shared) = (BTreeSet::new(), BTreeMap::new());
        for generation in generations {
            for key in self.keys(generation).await? {
                let name = bare(generation, &key);
                if name.contains(|any: char| any.is_ascii_digit()) {
                    names.insert(name.to_owned());
                } else {
                    let fields: &mut BTreeSet<String> = shared.entry(name.to_owned()).or_default();
                    fields.extend(self.fields(&key).await?);
                }
            }
        }
        let pages = |names: BTreeSet<String>| {
            let names: Vec<String> = names.into_iter().collect();
            names.chunks(MOST).map(<[String]>::to_vec).collect::<Vec<_>>()
        };
        let mut all: Vec<KeyPage> = pages(names).into_iter().map(KeyPage::Keys).collect();
        for (name, fields) in shared {
            all.extend(pages(fields).into_iter().map(|some| KeyPage::Fields(name.clone(), some)));
        }
        Ok(all)
    }

    async fn fields(&self, key: &str) -> Result<BTreeSet<String>, StoreError> {
        let mut connection = self.connection().await?;
        let mut scan = redis::cmd("HSCAN");
        scan.arg(key).cursor_arg(0).arg("COUNT").arg(1000);
        let mut found = self.check(scan.iter_async(&mut connection).await).await?;
        let mut fields = BTreeSet::new();
        while let Some(row) = found.next_item().await {
            let (field, _): (String, String) = self.check(row).await?;
            if field != VERSION {
                fields.insert(field);
            }
        }
        Ok(fields)
    }

    /// What a page holds, and the checkpoint then.
    pub(super) async fn read(
        &self,
        generation: &Generation,
        page: &KeyPage,
    ) -> Result<(Position, RowContents), StoreError> {
        let mut connection = self.connection().await?;
        let mut script = SCRIPT.prepare_invoke();
        script.key(keys::checkpoint(generation.name, generation.number));
        let prefix = keys::prefix(generation.name, generation.number);
        match page {
            KeyPage::Keys(names) => names.iter().for_each(|name| {
                script.key(format!("{prefix}{name}"));
            }),
            KeyPage::Fields(name, fields) => {
                script.key(format!("{prefix}{name}")).arg(fields);
            }
        }
        let answer = script.invoke_async(&mut connection).await;
        let (position, read): (Option<u64>, Vec<Vec<String>>) = self.check(answer).await?;
        let names: Vec<(String, String)> = match page {
            KeyPage::Keys(names) => names.iter().map(|name| (family(name), name.clone())).collect(),
            KeyPage::Fields(name, fields) => {
                fields.iter().map(|field| (family(name), format!("{name} {field}"))).collect()
            }
        };
        let rows = names.into_iter().zip(read);
        let rows = rows.filter_map(|(name, content)| Some((name, text(&content)?)));
        Ok((Position(position.ok_or(StoreError::Fenced)?), rows.collect()))
    }
}

/// What a key or field holds, as text that does not depend on how Redis orders or encodes it; `None` if it is not there.
fn text(content: &[String]) -> Option<String> {
    let (kind, content) = content.split_first()?;
    match kind.as_str() {
        "none" => None,
        "hash" => {
            let pairs = content.chunks_exact(2).map(|pair| (&pair[0], &pair[1]));
            let fields: BTreeMap<_, _> = pairs.filter(|(field, _)| *field != VERSION).collect();
            Some(format!("{fields:?}"))
        }
        "set" => Some(format!("{:?}", content.iter().collect::<BTreeSet<_>>())),
        "field" | "string" => content.first().cloned(),
        _ => Some(format!("{content:?}")),
    }
}

/// Of a page there is one range.
pub(super) fn digests(rows: &RowContents) -> Digests {
    let mut digest = Digest::default();
    for row in rows {
        let mut hasher = DefaultHasher::new();
        row.hash(&mut hasher);
        digest.rows += 1;
        digest.sum ^= hasher.finish();
    }
    Digests::from([(0, digest)])
}

/// `chat_user_7` → `chat_user`, `chatlog:chatlog_7_single_9` → `chatlog:chatlog`.
fn family(name: &str) -> String {
    let numbered = name
        .match_indices('_')
        .map(|(at, _)| at)
        .find(|at| name[at + 1..].starts_with(|next: char| next.is_ascii_digit()));
    let end = numbered.or_else(|| name.rfind('_')).unwrap_or(name.len());
    name[..end].to_owned()
}

fn bare<'a>(generation: &Generation, key: &'a str) -> &'a str {
    key.strip_prefix(&keys::prefix(generation.name, generation.number)).unwrap_or(key)
}
