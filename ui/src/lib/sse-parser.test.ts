import { expect, it } from 'vitest';
import { EventParser, type StreamEvent } from './sse-parser';

const STREAM =
  ': comment\nevent: order\ndata: {"a":\ndata: 1}\nid: 7\n\ndata:no space\r\n\r\nevent: empty\n\nretry: 5\rdata: last\r\r';
const EVENTS: StreamEvent[] = [
  { event: 'order', data: '{"a":\n1}', id: '7' },
  { event: 'message', data: 'no space', id: undefined },
  { event: 'message', data: 'last', id: undefined },
];

it('parses every kind of line', () => {
  expect(new EventParser().push(STREAM)).toEqual(EVENTS);
});

it('parses the same whatever the pieces are', () => {
  for (let size = 1; size < STREAM.length; size += 1) {
    const parser = new EventParser();
    const events: StreamEvent[] = [];
    for (let at = 0; at < STREAM.length; at += size) events.push(...parser.push(STREAM.slice(at, at + size)));
    expect(events, `pieces of ${size}`).toEqual(EVENTS);
  }
});
