use crate::event::Record;
use crate::json::Parser;

/// The table of the fields of a batch, as docs/ABI.md has it, "projection_v1_json".
pub(crate) fn table(batch: &[u8], names: &[String]) -> Vec<u8> {
    let mut rows = Vec::new();
    let mut rest = batch;
    while let Some((event, after)) = Record::first(rest) {
        rows.push(event);
        rest = after;
    }
    let mut cells = Vec::new();
    let mut texts = vec![];
    let size = rows.len() * names.len() * 32;
    for event in rows {
        let at = event.data.as_ptr() as usize - batch.as_ptr() as usize;
        match fields(event.data, names) {
            Ok(found) => found.iter().for_each(|raw| append_cell(&mut cells, &mut texts, size, raw.map(|r| (r, at + offset(event.data, r))))),
            Err(why) => {
                let text = append_text(&mut texts, size, &why);
                names.iter().for_each(|_| put(&mut cells, [255, 0, 0, 0, text.0, text.1], 0));
            }
        }
    }
    cells.extend(texts);
    cells
}

fn offset(data: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - data.as_ptr() as usize
}

/// The JSON of each of the fields; of one that occurs twice the last counts.
fn fields<'a>(data: &'a [u8], names: &[String]) -> Result<Vec<Option<&'a [u8]>>, String> {
    let mut found = vec![None; names.len()];
    let mut parser = Parser::new(data);
    let parsed = parser.object(|p, name| {
        let raw = p.skip()?;
        if let Some(i) = names.iter().position(|n| n == name) {
            found[i] = Some(raw);
        }
        Ok(())
    });
    match parsed.and_then(|()| parser.end()) {
        Ok(()) => Ok(found),
        Err(e) => Err(format!("event data {e}")),
    }
}

fn append_cell(cells: &mut Vec<u8>, texts: &mut Vec<u8>, size: usize, field: Option<(&[u8], usize)>) {
    let (raw, at) = match field {
        Some(found) => found,
        None => return put(cells, [0; 6], 0),
    };
    let kind = match raw[0] {
        b'n' => 1,
        b't' | b'f' => 2,
        b'"' => 4,
        b'[' => 5,
        b'{' => 6,
        _ => 3,
    };
    let mut text = (0, 0);
    if raw.contains(&b'\\') && kind == 4 {
        let says = Parser::new(raw).string().unwrap_or_default();
        text = append_text(texts, size, &says);
    }
    let digits = raw.strip_prefix(b"-").unwrap_or(raw);
    let whole = kind == 3 && digits.len() <= 18 && digits.iter().all(u8::is_ascii_digit);
    let int = std::str::from_utf8(raw).ok().filter(|_| whole).and_then(|n| n.parse().ok()).unwrap_or(0);
    put(cells, [kind, u32::from(whole), at as u32, raw.len() as u32, text.0, text.1], int);
}

fn append_text(texts: &mut Vec<u8>, size: usize, text: &str) -> (u32, u32) {
    let at = size + texts.len();
    texts.extend(text.as_bytes());
    (at as u32, text.len() as u32)
}

fn put(cells: &mut Vec<u8>, numbers: [u32; 6], int: i64) {
    numbers.iter().for_each(|n| cells.extend(n.to_le_bytes()));
    cells.extend(int.to_le_bytes());
}
