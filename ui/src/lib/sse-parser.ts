// Parser of `text/event-stream`, as the HTML standard defines it.

export interface StreamEvent {
  /** Name of the event; `message` if the stream names none. */
  event: string;
  data: string;
  /** The `id` of this event, if it has one. */
  id: string | undefined;
}

/** Maximum length of a line, in characters; a longer one ends the connection. */
const MAXIMUM_LINE = 4_000_000;

export class EventParser {
  #rest = '';
  #event = '';
  #id: string | undefined;
  #data: string[] = [];
  #afterReturn = false;

  /** Returns the events that end in `text`, which is the next piece of the stream. */
  push(text: string): StreamEvent[] {
    const events: StreamEvent[] = [];
    // A line ends with CR LF, LF or CR; a CR at the end of a piece may be followed by an LF in the next piece.
    let piece = text;
    if (this.#afterReturn && piece.startsWith('\n')) piece = piece.slice(1);
    if (piece !== '' || text !== '') this.#afterReturn = text.endsWith('\r');
    const lines = (this.#rest + piece).split(/\r\n|\n|\r/);
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > MAXIMUM_LINE) throw new Error('A line of the stream is too long.');
    for (const line of lines) this.#line(line, events);
    return events;
  }

  #line(line: string, events: StreamEvent[]): void {
    if (line === '') {
      if (this.#data.length > 0) {
        events.push({ event: this.#event || 'message', data: this.#data.join('\n'), id: this.#id });
      }
      this.#event = '';
      this.#id = undefined;
      this.#data = [];
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const field = colon === -1 ? line : line.slice(0, colon);
    let value = colon === -1 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (field === 'event') this.#event = value;
    else if (field === 'data') this.#data.push(value);
    else if (field === 'id') this.#id = value;
  }
}
