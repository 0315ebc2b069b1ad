"""LangGraph with its asynchronous SQLite saver, ``durability="sync"``.

Its graphs run in supersteps: tasks without edges are ``Send``s of one fan-out, bounded by ``max_concurrency``, and a
graph with edges is a node each with a barrier edge from its needs. One at a time is a node that goes to itself.
"""

import asyncio
import operator
import sys
from typing import Annotated, TypedDict

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from subject import Job, main
from workload import note


class State(TypedDict):
    """How many nodes have ended."""

    ended: Annotated[int, operator.add]


class One(TypedDict):
    """The node of a fan-out."""

    place: int


async def run(job: Job) -> None:
    """Run the graph; a second call goes on from the last checkpoint."""
    graph = job.graph

    async def work(place: int) -> State:
        if job.work.startswith("kill"):
            note(job.folder, "start", place)
        if graph[place].seconds:
            await asyncio.sleep(graph[place].seconds)
        if job.work.startswith("kill"):
            note(job.folder, "end", place)
        return {"ended": 1}

    def bound(place: int):
        async def node(state: State) -> State:  # noqa: ARG001 (its signature)
            return await work(place)

        return node

    builder = StateGraph(State)
    if any(node.needs for node in graph):
        needed = {need for node in graph for need in node.needs}
        for place, node in enumerate(graph):
            builder.add_node(str(place), bound(place))
            if node.needs:
                builder.add_edge([str(need) for need in node.needs], str(place))
            else:
                builder.add_edge(START, str(place))
            if place not in needed:
                builder.add_edge(str(place), END)
    elif job.at_once == 1:

        async def next_one(state: State) -> State:
            return await work(state["ended"])

        builder.add_node("work", next_one)
        builder.add_edge(START, "work")
        builder.add_conditional_edges("work", lambda s: "work" if s["ended"] < len(graph) else END)
    else:

        async def sent(one: One) -> State:
            return await work(one["place"])

        builder.add_node("work", sent)
        builder.add_conditional_edges(
            START, lambda _: [Send("work", {"place": p}) for p in range(len(graph))]
        )
        builder.add_edge("work", END)
    async with AsyncSqliteSaver.from_conn_string(str(job.folder / "langgraph.db")) as saver:
        await saver.setup()
        await saver.conn.execute("PRAGMA synchronous = FULL")
        app = builder.compile(checkpointer=saver)
        config = {
            "configurable": {"thread_id": "bench"},
            "max_concurrency": job.at_once,
            "recursion_limit": len(graph) + 10,
        }
        resumed = bool((await app.aget_state(config)).next)
        with job.timed():
            await app.ainvoke(None if resumed else {"ended": 0}, config, durability="sync")


if __name__ == "__main__":
    packages = ("langgraph", "langgraph-checkpoint-sqlite")
    sys.exit(main("langgraph", packages, dict.fromkeys(("noop", "dag", "agentlike", "kill", "killdag"), run)))
