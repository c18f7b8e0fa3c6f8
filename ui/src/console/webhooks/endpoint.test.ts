import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { EVENT_TYPES, numberIn } from './endpoint';

it('every type of event of the API is offered, once', () => {
  const description = JSON.parse(
    readFileSync(new URL('../../../../docs/reference/openapi.json', import.meta.url), 'utf8'),
  ) as { components: { schemas: { WebhookEndpointRequest: { properties: { types: { items: { enum: string[] } } } } } } };
  const { types } = description.components.schemas.WebhookEndpointRequest.properties;
  expect([...EVENT_TYPES].sort()).toEqual([...types.items.enum].sort());
});

it.each([
  ['1', 1],
  [' 100 ', 100],
  ['0', undefined],
  ['101', undefined],
  ['1.5', undefined],
  ['-1', undefined],
  ['', undefined],
  ['1e1', undefined],
])('%j from 1 to 100 is %s', (text, expected) => {
  expect(numberIn(text, 1, 100)).toBe(expected);
});
