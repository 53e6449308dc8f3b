"""What the made-up newspaper writes about: for each section its subjects, and the headlines that a subject gets."""

from __future__ import annotations

PLACES = ("Riverton", "Port Amsel", "Kessel", "Northgate", "Lindholm", "Saint Orme", "Tarn Valley", "Eastmere")

# Section → subjects, and (headline, first sentences) of the articles about one.
SECTIONS: dict[str, tuple[tuple[str, ...], tuple[tuple[str, str], ...]]] = {
    "Politics": (
        (
            *("cheaper bus fares", "the new housing law", "later school starts", "the tax on empty flats"),
            *("free museum entry", "a ban on night flights", "rent limits", "voting at sixteen"),
        ),
        (
            ("{place} council votes on {subject}", "After a long evening the council of {place} decided by two votes."),
            (
                "Minister under pressure over {subject}",
                "The opposition asks for papers and a date. The minister stays.",
            ),
            ("What {subject} would change for you", "Who pays, who gains and when: the draft, read line by line."),
            (
                "Thousands march in {place} over {subject}",
                "Police counted nine thousand, the organisers twice as many.",
            ),
        ),
    ),
    "Business": (
        (
            *("the chip maker Solvane", "the railway operator Transmar", "small bakeries", "the shipyard in Eastmere"),
            *("online grocers", "the battery plant", "the airline Corvus", "family hotels"),
        ),
        (
            ("Profit warning: hard months for {subject}", "Energy and wages cost more than planned, the board says."),
            ("Why investors bet on {subject}", "Orders have doubled within a year, and the market has noticed."),
            ("Strike begins at {subject}", "Workers want eight per cent. Talks go on in {place} tonight."),
            ("Takeover talks around {subject}", "Two bidders are left, people close to the matter say."),
        ),
    ),
    "Technology": (
        (
            *("home robots", "the new phone from Lumo", "electric ferries", "password managers"),
            *("speech assistants for doctors", "quantum computers", "satellite internet", "open-source maps"),
        ),
        (
            ("Tested: {subject}", "Two weeks in daily use, three strengths and one habit that drove us mad."),
            ("The trouble with {subject}", "Security researchers in {place} found what the makers had overlooked."),
            ("How {subject} came so far so quickly", "Ten years ago it was a student project. A look back, and ahead."),
            ("{place} wants to live off {subject}", "A campus, four hundred jobs and a bet on the next decade."),
        ),
    ),
    "Science": (
        (
            *("deep-sea corals", "the far side of the moon", "ancient bread", "bird migration"),
            *("a vaccine against malaria", "gravitational waves", "glacier lakes", "the sleep of octopuses"),
        ),
        (
            ("What scientists have learned about {subject}", "The measurements surprised even those who made them."),
            ("A new mission to study {subject}", "The expedition sets out from {place} in spring with forty people."),
            (
                "The researcher who changed our picture of {subject}",
                "For twenty years nobody believed her. A portrait.",
            ),
            ("Seven questions about {subject}", "What is known, what is guessed, and what a telescope cannot tell."),
        ),
    ),
    "Sport": (
        (
            *("the cup final", "the women's national team", "the marathon", "the cycling tour"),
            *("the ice hockey derby", "the chess world title", "the swimming championships", "the transfer market"),
        ),
        (
            ("{place} dreams of {subject}", "Tickets are gone, flags are out, and the bakers sell blue bread."),
            ("Drama at {subject}", "A minute before the end nobody would have bet on it. The report."),
            ("Injury shock before {subject}", "The captain will miss at least six weeks, the doctors say."),
            ("Five things to know about {subject}", "Favourites, dark horses, times and where to watch it."),
        ),
    ),
    "Health": (
        (
            *("hay fever", "back pain", "the flu season", "waiting times at hospitals"),
            *("sugar in children's food", "sleep in summer", "the lack of midwives", "running after fifty"),
        ),
        (
            ("What helps against {subject}", "Doctors sort the advice: what is proven, and what only sells."),
            (
                "{place} looks for a way out of {subject}",
                "A clinic tries a new plan, and others have begun to copy it.",
            ),
            ("New figures on {subject}", "It is more common than thought, and the young are hit the most."),
            ("A reader asks about {subject}", "Our doctor answers, with three exercises and a warning."),
        ),
    ),
    "Culture": (
        (
            *("the opera of Port Amsel", "the film festival", "a forgotten novelist", "street musicians"),
            *("the museum of clocks", "the new season of Harbour Lights", "a stolen painting", "jazz in old factories"),
        ),
        (
            ("An evening with {subject}", "Applause after the first act, silence after the last. The review."),
            ("The return of {subject}", "Nobody had expected it, least of all those who gave it up."),
            ("Money quarrel around {subject}", "{place} wants to save a million, and three hundred artists object."),
            ("Ten reasons to love {subject}", "A declaration by our critics, who otherwise agree on nothing."),
        ),
    ),
    "Climate": (
        (
            *("the drought", "roof gardens", "the price of carbon", "flooded cellars"),
            *("wind farms at sea", "the last cold summer", "heat in classrooms", "the moor that came back"),
        ),
        (
            ("{place} prepares for {subject}", "Sandbags, shade and a telephone chain: the plan in eight points."),
            ("What {subject} costs us", "Economists have added it up, and the sum has nine zeros."),
            ("The people who live with {subject}", "Three families, one question: stay or go. A report."),
            ("Good news about {subject}", "For once the curve points the right way. Why that is no accident."),
        ),
    ),
}
