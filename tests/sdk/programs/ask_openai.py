"""A program that knows nothing of cachy: an answer, a stream and a vector, printed."""

from openai import OpenAI

client = OpenAI()
question = [{"role": "user", "content": "Which city?"}]
print(client.chat.completions.create(model="gpt-5.2", messages=question).to_json())
for event in client.responses.create(model="gpt-5.2", input="Which city?", stream=True):
    print(event.to_json())
print(client.embeddings.create(model="text-embedding-4", input="Which city?").to_json())
